"""Parts that tests share: small networks, corpora, files and servers."""
