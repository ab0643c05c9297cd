"""What the scripts share.

Arrays are ``(ny, nx)``; positions are ``(x, y)``, 0-based, with pixel centres at integers.
NaN means "no data"; zero never does.
"""

VERSION = "0.1.0"
