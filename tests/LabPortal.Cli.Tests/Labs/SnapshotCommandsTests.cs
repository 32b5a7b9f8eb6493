namespace LabPortal.Cli.Tests.Labs;

public sealed class SnapshotCommandsTests(SharedPortal portal)
{
    [Fact]
    public async Task A_snapshot_is_taken_listed_reverted_to_and_deleted()
    {
        using var lab = portal.Lab();
        (await lab.RunAsync("request", "single", "--team", "qa", "--name", "kept", "--wait")).Must(Exit.Done);

        (await lab.RunAsync("snapshot", "take", "kept", "before", "--wait")).Must(Exit.Done);
        (await lab.RunAsync("snapshot", "take", "kept", "before", "--wait")).Must(Exit.Invalid);
        Assert.Matches(@"before +taken .*web +web", (await lab.RunAsync("snapshot", "list", "kept")).Must(Exit.Done).Output);
        var listed = (await lab.RunAsync("snapshot", "list", "kept")).Must(Exit.Done).Output;
        var disk = Assert.Single((await lab.RunAsync("snapshot", "list", "kept", "-o", "json")).Must(Exit.Done).Json["disks"]!.AsArray())!;
        Assert.Matches($"web +{(long)disk["bytes"]! >> 20}.0 MiB +{disk["promisedGiB"]} GiB +{disk["snapshotsGiB"]} GiB", listed);
        Assert.True((long)disk["bytes"]! > 0);
        Assert.Contains("--yes", (await lab.RunAsync("revert", "kept", "before")).Must(Exit.Invalid).Error, StringComparison.Ordinal);
        Assert.Equal("ready", (string)(await lab.RunAsync("revert", "kept", "before", "--yes", "--wait", "-o", "json")).Must(Exit.Done).Json["state"]!);
        // Its blueprint keeps none at ready.
        (await lab.RunAsync("revert", "kept", "--yes")).Must(Exit.Invalid);
        Assert.Contains("--yes", (await lab.RunAsync("snapshot", "delete", "kept", "before")).Must(Exit.Invalid).Error, StringComparison.Ordinal);
        (await lab.RunAsync("snapshot", "delete", "kept", "before", "--yes", "--wait")).Must(Exit.Done);
        Assert.Empty((await lab.RunAsync("snapshot", "list", "kept", "-o", "json")).Must(Exit.Done).Json["items"]!.AsArray());
    }
}
