namespace LabPortal.Bench.Plain;

/// <summary>As many rows, with as many words, as a page of labs has.</summary>
internal sealed record Row(string Id, string Name, string Title, string State, string Owner, string Team, string Lease)
{
    public static List<Row> Make() =>
        [.. Enumerable.Range(0, 25).Select(i => new Row(Guid.CreateVersion7().ToString(), $"calm-heron-{i}", "One pretended machine", "Ready", "Ada Lovelace", "qa", "3 h 59 min left"))];
}
