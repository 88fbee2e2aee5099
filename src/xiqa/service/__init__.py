"""The node: an image is pushed, seconds later its verdict is where people look.

Objects come in (`intake`) from `xiqa.dicom.net`'s spool and become rows (`schema`). Work is rows too
(`jobs`): the original is forwarded first and whatever happens, then the image is assessed in a child process
and its results are delivered.
"""
