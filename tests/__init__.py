"""What checks annotated shapes while tests run: beartype, with int accepted where float is asked."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
