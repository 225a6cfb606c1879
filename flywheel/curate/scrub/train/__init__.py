"""The recipe of the named-entity model that the package ships: `python -m flywheel.curate.scrub.train`."""
