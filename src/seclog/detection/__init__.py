"""WHAT IT MEANS: recognisers look at entries and derive events. Rules as data and their engine come here."""
