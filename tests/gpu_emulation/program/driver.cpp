// An empty library under the driver's name: whether a driver is installed the program finds out by
// opening it.
