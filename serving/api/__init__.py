"""The HTTP edge: routes, status codes and problem documents."""
