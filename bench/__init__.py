"""Timings that can be trusted: checked before they are taken, side by side with a peer.

``python -m numcnn.bench train --peer torch`` times training steps.
"""
