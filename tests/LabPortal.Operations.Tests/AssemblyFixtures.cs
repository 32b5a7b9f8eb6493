using LabPortal.Testing;
using Xunit;

[assembly: AssemblyFixture(typeof(TestDatabases))]
