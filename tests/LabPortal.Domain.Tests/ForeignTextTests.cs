using System.Globalization;
using System.Text;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Domain.Tests;

/// <summary>What others say, as the portal passes it on.</summary>
public sealed class ForeignTextTests
{
    [Fact]
    public void Whatever_is_said_becomes_one_line_that_does_nothing_and_every_database_takes()
    {
        TestContext.Current.TestOutputHelper?.WriteLine($"Seed {HostileStrings.Seed}");
        var strict = new UTF8Encoding(false, throwOnInvalidBytes: true);
        Assert.All(HostileStrings.Some(5_000), text =>
        {
            var said = ForeignText.Of(text);
            Assert.DoesNotContain(said.EnumerateRunes(), rune => Rune.GetUnicodeCategory(rune)
                is UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator);
            Assert.Equal(said, strict.GetString(strict.GetBytes(said)));
            Assert.True(said.Length <= ForeignText.Longest);
            Assert.Equal(said, ForeignText.Of(said));
            Assert.Equal(said, new ProviderFault(FaultKind.Broken, text).Message);
        });
    }

    [Fact]
    public void What_is_harmless_stays_and_what_is_cut_says_so()
    {
        foreach (var text in new[] { "", "Fine.", "It says <b>no</b> to \"you\" & 'me'; 日本 שלום é😀 =1+1 $(x)" }) Assert.Equal(text, ForeignText.Of(text));
        Assert.Equal("a b c", ForeignText.Of("a\r\nb\n\n\tc"));
        Assert.Equal("a\\u{202e}b\\u{0}\ufffd", ForeignText.Of("a\u202eb\0\ud800"));
        Assert.Equal("xx…", ForeignText.Of("xxxx", 3));
        Assert.Equal("x…", ForeignText.Of("x😀😀", 3));
        Assert.Equal("😀", ForeignText.Of("😀", 2));
    }

    [Fact]
    public void Everything_that_a_provider_says_in_words_is_such_a_text()
    {
        var (text, said) = (HostileStrings.Everything, ForeignText.Of(HostileStrings.Everything));
        var reference = new ResourceRef(new Owner(new InstallationId(Guid.Empty), new LabId(Guid.Empty), new MachineId(Guid.Empty), 1));
        var (problem, owned, capacity) = (new PoolProblem(text, null, text), new OwnedResource(ResourceKind.Machine, text, text, Guid.Empty, 1, null), new HostCapacity("h", 1, 1, 1, 1, text, text));
        var seen = new Observation.Present(reference, PowerState.Running, text, null, [], text);
        Assert.All(
            [
                problem.What, problem.Mend, owned.ExternalId, owned.Name, capacity.Acceleration, capacity.Problem, seen.ExternalId, seen.Problem, new Observation.Unknown(reference, text).Why,
                new ImagePresence("h", false, null, 0, text).Mend, MachineStart.Cold(text).Why, new MachineSnapshot(new SnapshotId(Guid.Empty), text, default, false, null).ExternalId,
            ],
            each => Assert.Equal(said, each));
    }
}
