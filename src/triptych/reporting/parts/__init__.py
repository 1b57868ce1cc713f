"""The parts of a page: charts, pictures, tables, an atlas, a section."""
