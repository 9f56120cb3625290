"""From events to wanted rules, without a device."""
