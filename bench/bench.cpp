// Throughput studies.
int main() { return 0; }
