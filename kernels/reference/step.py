"""Step function: y = 1 where x > 0, else ``low`` (-1 or 0), as in the first neural networks.

All arrays are 1-D views of one size; ``i`` is the element. 0 itself lies on the low side, and a
NaN stays NaN. The function is level on both sides of its jump, so its derivative is 0 wherever it
has one; `step_backward_input` writes zeros, and no gradient gets past a step. Every output array
is overwritten. McCulloch and Pitts, "A logical calculus of the ideas immanent in nervous
activity", 1943; Rosenblatt, "The perceptron", 1958.
"""


def step_forward(x, low, y):
    """Write y[i] = 1 where x[i] is positive, else low."""
    for i in range(x.shape[0]):
        if x[i] > 0:
            y[i] = 1
        elif x[i] <= 0:
            y[i] = low
        else:
            y[i] = x[i]


def step_backward_input(dy, dx):
    """Write dx[i] = 0: what comes from above is lost."""
    for i in range(dy.shape[0]):
        dx[i] = 0
