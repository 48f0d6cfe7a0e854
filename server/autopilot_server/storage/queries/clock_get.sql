SELECT apart FROM clock
