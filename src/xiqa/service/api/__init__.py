"""The node over HTTP: its state, its queue, its events, and another way in for images.

`app.make_app` puts the routers together; a human page is one more router.
"""
