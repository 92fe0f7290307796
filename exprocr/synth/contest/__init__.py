"""The look of the 2017 contest, and that of the ``captcha`` package."""
