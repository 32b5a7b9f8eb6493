using System.Globalization;
using System.Text;

namespace LabPortal.Providers.Simulated;

/// <summary>What a simulated guest has printed by now: it follows from what was done to the machine, and when.</summary>
internal static class SerialLog
{
    internal sealed record Deed(string What, long At);

    private static readonly (double At, string Line)[] Boot =
    [
        (0.00, "Linux version 6.12.0-simulated (simulated@lab) #1 SMP"),
        (0.02, "Command line: console=ttyS0 root=/dev/vda1 ro"),
        (0.10, "virtio_blk virtio0: [vda] ready"),
        (0.20, "EXT4-fs (vda1): mounted filesystem with ordered data mode"),
        (0.35, "init: hostname {0}"),
        (0.60, "seed: NoCloud, datasource on /dev/vdb"),
        (0.80, "virtio_net virtio1 eth0: link up"),
        (0.95, "eth0: leased {1}"),
    ];

    public static string Write(string hostName, string? address, long boot, IReadOnlyList<Deed> deeds, long now)
    {
        var text = new StringBuilder();
        for (var i = 0; i < deeds.Count; i++)
        {
            var (what, at) = deeds[i];
            var until = i + 1 < deeds.Count ? Math.Min(deeds[i + 1].At, now + 1) : now + 1;
            if (what is "stop" or "outside-stop")
            {
                if (at < until) text.Append("reboot: Power down\r\n");
                continue;
            }

            foreach (var (share, line) in Boot)
            {
                var offset = (long)(share * boot);
                if (at + offset < until || (boot == 0 && at <= now))
                    text.Append(CultureInfo.InvariantCulture, $"[{offset / 1e6,12:F6}] ").AppendFormat(CultureInfo.InvariantCulture, line, hostName, address ?? "nothing").Append("\r\n");
            }

            if (at + boot < until || (boot == 0 && at <= now)) text.Append("\r\n").Append(hostName).Append(" login: \r\n");
        }

        return text.ToString();
    }
}
