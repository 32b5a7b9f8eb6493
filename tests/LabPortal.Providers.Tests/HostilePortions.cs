using System.Text.Json;
using LabPortal.Domain;
using LabPortal.Testing;

namespace LabPortal.Providers.Tests;

/// <summary>10,000 hostile values, as many of them together as a machine's user data takes; each piece of which they are made is alone in one, too, and so is in its title.</summary>
internal static class HostilePortions
{
    private const int Alone = 100;

    /// <summary>EC2 takes 16 KiB of user data.</summary>
    private const int MostBytes = 11_000;

    /// <summary>What may be anybody's title, and values without the halves of characters that JSON has not.</summary>
    public static IEnumerable<(string Title, IReadOnlyList<string> Values)> All()
    {
        var (portion, title, bytes, number) = (new List<string>(), "", 0, 0);
        foreach (var hostile in HostileStrings.Some(10_000))
        {
            var value = ForeignText.Of(hostile);
            // At the most: what is not ASCII is written as six characters here.
            var size = JsonSerializer.Serialize(value).Length;
            if (portion.Count > 0 && (number < Alone || bytes + size > MostBytes))
            {
                yield return (title, portion);
                (portion, bytes) = ([], 0);
            }

            if (portion.Count == 0) title = hostile;
            portion.Add(value);
            (bytes, number) = (bytes + size, number + 1);
        }

        yield return (title, portion);
    }
}
