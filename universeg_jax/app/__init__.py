"""The page in the browser: label a few images, let the model propose the rest, correct what is wrong."""
