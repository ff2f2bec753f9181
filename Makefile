# arbstream. `make` alone lists the targets.
