"""What the benchmark of a probe's overhead is made of: workloads, contenders, and the measuring of both."""
