"""The complete chat application: the protocol of ``schemas`` and ``handlers``, served with everything around it."""
