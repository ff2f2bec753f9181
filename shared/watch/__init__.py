"""Reading and commanding a running system: what command line, lab and other observers share."""
