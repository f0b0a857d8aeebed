"""Floor 4: results to text, HTML, DataFrame and matplotlib; pure functions of a record, without a clock."""
