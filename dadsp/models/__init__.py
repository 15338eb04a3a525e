"""Everything with fit and predict, one file per system; Lightning lives here."""
