"""Right functions (`right`) and planted mistakes (`mistakes`): what the reports check gradcheck with."""
