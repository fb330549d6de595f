"""Other frameworks, imported only when a comparison asks for one.

A peer is a module with ``VERSION`` and ``Trainer(model, lr, threads)``, which builds the same
network with the same weights and has ``loss_and_gradients(x, y)``, ``step(x, y)``.
"""
