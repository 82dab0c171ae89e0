"""Type checker for annotated shapes in tests: beartype, with ints accepted as floats."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
