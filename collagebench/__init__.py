"""collagebench: which redundancy scheme tames your inference stragglers? Measure them side by side."""

__version__ = "0.1.0"
