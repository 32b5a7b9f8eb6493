using LabPortal.Bench;
using LabPortal.Testing;

// The parts that are code; infra/bench/run calls them and the ones that are scripts.
if (args is ["worker", var setting])
{
    await Wake.WorkAsync(setting, CancellationToken.None);
    return 0;
}

await using var databases = new TestDatabases();
var met = args switch
{
    ["turns"] => await Turns.RunAsync(databases, CancellationToken.None),
    ["wake"] => await Wake.RunAsync(databases, CancellationToken.None),
    ["fairness"] => await Fairness.RunAsync(databases, CancellationToken.None),
    ["leases"] => await Leases.RunAsync(databases, CancellationToken.None),
    _ => throw new ArgumentException("turns, wake, fairness or leases"),
};
Console.WriteLine(met ? "aim met" : "AIM MISSED");
return met ? 0 : 1;
