"""DICOM over the network and on disk: a guarded server, a client and a spool; no torch, no database.

`StoreServer` takes objects in, `Spool` keeps them, `Peer` sends them on. What is acknowledged is on the disk.
"""
