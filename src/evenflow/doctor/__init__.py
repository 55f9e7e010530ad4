"""The doctor: looks at a model and its data, tries a short training on a copy, and says what is wrong."""
