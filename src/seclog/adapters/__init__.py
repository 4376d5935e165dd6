"""THE DOORS: one adapter a framework. They import the core and their framework; nothing in the core imports them."""
