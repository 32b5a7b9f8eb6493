using LabPortal.Testing;
using Xunit;

[assembly: AssemblyFixture(typeof(TestDatabases))]
// Many of these wait for a guest, a lease or a process: more than one for each processor go on side by side, and the longest begin early.
[assembly: Xunit.v3.Parallelization(MaxThreads = 3)]
