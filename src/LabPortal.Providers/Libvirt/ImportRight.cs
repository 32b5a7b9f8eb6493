using System.Diagnostics;
using System.Globalization;
using System.Text;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

/// <summary>
/// The right to write one image's volume on one host: one import's at a time, whichever portal it belongs to. Its marks stand beside the
/// image as <c>IMAGE.importing.N</c>, and as long as there is one, the image counts for nobody.
/// <list type="bullet">
/// <item>Making a volume fails where it is there already, so each number is one import's alone. The highest has the right.</item>
/// <item>Others wait while that one shows life (a mark, or the image's file, changes). Only after they have seen nothing change for
/// <paramref name="silence"/> on their own clock, or where they know that it has ended, may they take the next number: of several, one gets it.</item>
/// <item>Whoever has the right looks again before each act that could undo another's work, and leaves everything where it has lost it.</item>
/// <item>The last mark that goes is the own one, and with it the image is there. A mark that stands alone was made beside nothing, or
/// beside an image that was finished in between.</item>
/// </list>
/// What remains is an importer that stands still between two calls of the library for longer than that, and then goes on: the world cannot be fenced.
/// </summary>
/// <param name="wire">The host.</param>
/// <param name="pool">Its storage pool.</param>
/// <param name="volume">The image's volume.</param>
/// <param name="importer">Whose the right is to be: written into the mark, and never used twice.</param>
/// <param name="ended">Importers of whom we know that they do not write any more.</param>
/// <param name="silence">How long one that lives may show nothing.</param>
internal sealed class ImportRight(LibvirtWire wire, PoolHandle pool, string volume, string importer, IReadOnlyCollection<string> ended, TimeSpan silence)
{
    private const int MostOfAMark = 100;
    private static readonly TimeSpan Between = TimeSpan.FromMilliseconds(200);

    private readonly byte[] _own = Encoding.ASCII.GetBytes(importer);
    private int _number;

    private string Prefix => PrefixOf(volume);

    public static bool IsTaken(LibvirtWire wire, PoolHandle pool, string volume) => Numbers(wire, pool, PrefixOf(volume)).Count > 0;

    /// <summary>Waits for an import that goes on. True where the right is ours; false where another's import has ended, and the image is to be looked at again.</summary>
    public bool Take()
    {
        var (seen, waited) = ("", false);
        for (var still = Stopwatch.StartNew(); ; LibvirtWire.Pause(Between))
        {
            var marks = Numbers(wire, pool, Prefix);
            if (marks.Count == 0 && waited) return false;
            if (marks.Count > 0)
            {
                var now = Signs(marks);
                if (now != seen) still.Restart();
                seen = now;
                // A first look says nothing yet: the mark may just be being made.
                if (still.Elapsed < silence && !(waited && ended.Contains(Reads(marks[^1]))))
                {
                    waited = true;
                    wire.Report(0);
                    continue;
                }
            }

            _number = marks.LastOrDefault() + 1;
            using var mark = wire.CreateVolume(pool, LibvirtMapping.Raw(Prefix + _number, _own.Length).ToString());
            if (mark is null) continue;
            wire.Upload(mark, new MemoryStream(_own, writable: false));
            return true;
        }
    }

    /// <summary>Whether somebody's import stopped half-way before ours: what stands there as the image is worth nothing.</summary>
    public bool IsAfterAnother() => Numbers(wire, pool, Prefix).Exists(number => number < _number);

    /// <exception cref="ProviderFault">Transient: the right is another's by now.</exception>
    public void Require()
    {
        if (!IsOurs()) throw Lost();
    }

    /// <summary>The image is whole and its note is written: from here on it is there.</summary>
    public void Finish()
    {
        Require();
        Release();
        if (IsTaken(wire, pool, volume)) throw Lost();
    }

    /// <summary>After a failure: takes away what is half, so that the next import need not wait. What cannot be taken away is forsaken, and found so.</summary>
    public void GiveUp()
    {
        try
        {
            if (!IsOurs()) return;
            using (var half = wire.FindVolume(pool, volume))
            {
                if (half is not null) wire.Delete(half);
            }

            Release();
        }
        catch (ProviderFault)
        {
            // The host is away or the disk is sick, and the fault that led here says so already.
        }
    }

    /// <summary>Takes the marks away, the own one last.</summary>
    public void Release()
    {
        foreach (var number in Numbers(wire, pool, Prefix).Where(number => number <= _number))
        {
            using var mark = wire.FindVolume(pool, Prefix + number);
            if (mark is not null) wire.Delete(mark);
        }
    }

    public ProviderFault Lost() => new(FaultKind.Transient, $"Another import has begun to write \"{volume}\" on host \"{wire.Host.Name}\" anew.");

    private bool IsOurs() => Numbers(wire, pool, Prefix).LastOrDefault() == _number && Reads(_number) == importer;

    /// <summary>What changes as long as somebody imports.</summary>
    private string Signs(List<int> marks)
    {
        using var image = wire.FindVolume(pool, volume);
        using var mark = wire.FindVolume(pool, Prefix + marks[^1]);
        return $"{string.Join(' ', marks)} {(mark is null ? null : wire.TryDescribe(mark)?.Modified)} {(image is null ? null : wire.TryDescribe(image))}";
    }

    private string Reads(int number)
    {
        using var mark = wire.FindVolume(pool, Prefix + number);
        return mark is null || wire.TryDownload(mark, MostOfAMark) is not { } content ? "" : Encoding.ASCII.GetString(content);
    }

    private static string PrefixOf(string volume) => volume + ".importing.";

    private static List<int> Numbers(LibvirtWire wire, PoolHandle pool, string prefix) =>
    [
        .. wire.ListVolumes(pool)
            .Where(name => name.StartsWith(prefix, StringComparison.Ordinal))
            .Select(name => int.TryParse(name.AsSpan(prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : 0)
            .Where(number => number > 0)
            .Order(),
    ];
}
