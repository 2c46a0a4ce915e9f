#!/usr/bin/env python3
"""Every package of the layer is there and works with the others."""

import tempfile

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import integrate

area, _ = integrate.quad(np.sin, 0, np.pi)
assert abs(area - 2) < 1e-9, area

table = pd.DataFrame({"x": np.arange(4.0)})
assert table["x"].mean() == 1.5, table

assert matplotlib.get_backend().lower() == "agg", matplotlib.get_backend()
plt.plot(table["x"])
with tempfile.TemporaryFile() as picture:
    plt.savefig(picture)
    assert picture.tell() > 1000, "the picture is empty"
