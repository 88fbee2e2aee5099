"""The node: an image is pushed, seconds later its verdict is where people look.

Objects come in from `xiqa.dicom.net`'s spool and become rows (`records`). Work is rows too
(`work`): the original is forwarded first and whatever happens, then the image is assessed in a child process
and its results are delivered.
"""
