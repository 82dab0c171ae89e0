"""How sound lies in files: containers, frames of codecs and the tags around them."""
