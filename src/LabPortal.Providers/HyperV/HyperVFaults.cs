using System.Globalization;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using LabPortal.Domain.Pools;
using Renci.SshNet.Common;

namespace LabPortal.Providers.HyperV;

/// <summary>What a host's PowerShell, or the way to it, says → what the runner does with it.</summary>
internal static class HyperVFaults
{
    /// <summary>What our scripts put before a sentence of their own.</summary>
    private const string Rejected = "Rejected: ";

    /// <summary>No memory, no room on the volume, no resources, as Hyper-V writes the code into its sentence; the id beside it is often <c>Unspecified</c>.</summary>
    private static readonly string[] s_full = ["0x8007000E", "0x80070070", "0x80070027", "0x800705AA"];

    /// <summary>
    /// An error record. The ids are those of <c>Microsoft.HyperV.PowerShell</c> (before the comma of <c>FullyQualifiedErrorId</c>), the categories
    /// PowerShell's own (<c>ErrorCategory</c>), the codes Windows' (MS-ERREF).
    /// </summary>
    public static ProviderFault Of(string host, JsonNode error)
    {
        var (message, id, category) = (Text("message"), Text("id").Split(',')[0], Text("category"));
        if (message.StartsWith(Rejected, StringComparison.Ordinal)) return new ProviderFault(FaultKind.Rejected, message[Rejected.Length..]);
        if (s_full.Any(code => message.Contains(code, StringComparison.OrdinalIgnoreCase))) return new ProviderFault(FaultKind.NoCapacity, $"Host {host} says: {message.TrimEnd().TrimEnd('.')}.");
        var code = error["hresult"] is { } number ? unchecked((uint)long.Parse(number.ToJsonString(), CultureInfo.InvariantCulture)) : 0;
        var kind = (id, category, code) switch
        {
            ("OutOfMemory", _, _) or (_, _, 0x8007_000e or 0x8007_0070 or 0x8007_0027 or 0x8007_05aa) => FaultKind.NoCapacity,
            ("AccessDenied", _, _) or (_, "PermissionDenied" or "SecurityError" or "AuthenticationError", _) or (_, _, 0x8007_0005) => FaultKind.Unauthorized,
            ("InvalidState" or "ObjectInUse" or "OperationTimeout", _, _) or (_, "ResourceBusy" or "ResourceUnavailable" or "OperationTimeout" or "ConnectionError", _) or (_, _, 0x8007_0020 or 0x8007_0021 or 0x8007_0091 or 0x8004_1001) => FaultKind.Transient,
            ("InvalidParameter" or "ObjectNotFound", _, _) or (_, "InvalidArgument" or "ObjectNotFound", _) => FaultKind.Rejected,
            // A byte that another has locked, as .NET says it where Windows' codes are not known.
            (_, _, 0x8013_1620 or 11 or 13) => FaultKind.Transient,
            _ => FaultKind.Broken,
        };
        return new ProviderFault(kind, $"Host {host} says: {message.TrimEnd().TrimEnd('.')}.");

        string Text(string name) => error[name]?.GetValue<string>() ?? "";
    }

    /// <summary>Is it a fault of the way to the host?</summary>
    public static bool IsOfWay(Exception fault) => fault is SocketException or SshException or IOException or ObjectDisposedException;

    public static ProviderFault OfWay(string host, Exception fault) => fault switch
    {
        SshAuthenticationException => new ProviderFault(FaultKind.Unauthorized, $"Host {host} refuses the user's key or password.", fault),
        SshConnectionException { DisconnectReason: Renci.SshNet.Messages.Transport.DisconnectReason.HostKeyNotVerifiable } => new ProviderFault(FaultKind.Unauthorized, $"Host {host} shows the key {fault.Message}, and the pool's settings name another or none; see whether it is that host, and correct its fingerprint.", fault),
        _ => new ProviderFault(FaultKind.Transient, $"Host {host} cannot be reached: {fault.Message.TrimEnd().TrimEnd('.')}.", fault),
    };
}
