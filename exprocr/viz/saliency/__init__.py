"""Which pixels a reading rests on."""
