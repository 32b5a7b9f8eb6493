using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Libvirt;

/// <summary>libvirt's error numbers that we tell apart (<c>virterror.h</c>; they never change their meaning).</summary>
internal enum LibvirtError
{
    None = 0,
    NoMemory = 2,
    NoSupport = 3,
    UnknownHost = 4,
    NoConnect = 5,
    InvalidArgument = 8,
    OperationFailed = 9,
    XmlError = 27,
    XmlDetail = 35,
    System = 38,
    Rpc = 39,
    Tls = 40,
    NoDomain = 42,
    NoNetwork = 43,
    AuthFailed = 45,
    NoPool = 49,
    NoVolume = 50,
    OperationInvalid = 55,
    NoFilter = 62,
    ConfigUnsupported = 67,
    OperationTimeout = 68,
    NoDomainSnapshot = 72,
    AuthCancelled = 79,
    OperationUnsupported = 84,
    AgentUnresponsive = 86,
    ResourceBusy = 87,
    AccessDenied = 88,
    VolumeExists = 90,
    AuthUnavailable = 94,
}

/// <summary>What libvirt says → a fault: its kind, and a sentence that names host, deed and way out.</summary>
internal static class LibvirtFaults
{
    /// <summary>What the operating system says where a host is full. libvirt hands it on as text within several error numbers.</summary>
    private static readonly string[] Full = ["No space left on device", "Disk quota exceeded", "Cannot allocate memory", "cannot set up guest memory", "network is out of DHCP leases"];

    /// <summary>What ssh, TLS and the socket say where we may not in; it reaches us inside "cannot recv data" and the like.</summary>
    private static readonly string[] Refused =
        ["Permission denied", "Host key verification failed", "authentication failed", "Authentication failed", "Authentication unavailable", "certificate", "Too many authentication failures"];

    /// <summary>Of a volume that somebody reads or writes at this moment.</summary>
    public const string InUse = "is still in use";

    private static readonly string[] Busy = ["asynchronous jobs running", "still being allocated", InUse, "is in use by another process", "cannot acquire state change lock", "Device or resource busy", "keepalive", "end of file", "End of file"];

    /// <param name="alive">Whether the connection survived the call: a call that lost it may pass on the next one.</param>
    public static ProviderFault From(LibvirtError code, string message, string doing, string host, bool alive)
    {
        var (kind, mend) = Judge(code, message, alive);
        return new ProviderFault(kind, $"Host \"{host}\" could not {doing}: {Sentence(message)}{mend}");
    }

    private static (FaultKind Kind, string Mend) Judge(LibvirtError code, string message, bool alive)
    {
        if (Says(message, Refused) && code is LibvirtError.System or LibvirtError.Rpc or LibvirtError.Tls or LibvirtError.AuthFailed or LibvirtError.NoConnect)
            return Unauthorized;
        if (code is LibvirtError.AuthFailed or LibvirtError.AuthCancelled or LibvirtError.AuthUnavailable or LibvirtError.AccessDenied) return Unauthorized;
        if (code == LibvirtError.NoMemory || Says(message, Full))
            return (FaultKind.NoCapacity, " The host is full: free space or memory there, or add a host.");
        if (!alive || Says(message, Busy)) return (FaultKind.Transient, "");
        return code switch
        {
            LibvirtError.NoConnect or LibvirtError.System or LibvirtError.Rpc or LibvirtError.OperationTimeout or LibvirtError.ResourceBusy
                or LibvirtError.AgentUnresponsive or LibvirtError.OperationFailed or LibvirtError.NoDomain or LibvirtError.UnknownHost => (FaultKind.Transient, ""),
            LibvirtError.NoPool or LibvirtError.NoNetwork => (FaultKind.Transient, " Create and start it on that host, or name another in the pool's settings."),
            LibvirtError.XmlError or LibvirtError.XmlDetail or LibvirtError.InvalidArgument or LibvirtError.ConfigUnsupported
                or LibvirtError.OperationUnsupported or LibvirtError.NoSupport => (FaultKind.Rejected, ""),
            LibvirtError.NoVolume => (FaultKind.Transient, ""),
            // QEMU that dies at its start, a qemu-img that fails: seen to pass when the host has caught its breath.
            _ => (FaultKind.Transient, ""),
        };
    }

    private static (FaultKind Kind, string Mend) Unauthorized => (FaultKind.Unauthorized, " Check the user, key or certificate in the host's URI, and that this user may use libvirt there.");

    private static bool Says(string message, string[] any) => any.Any(text => message.Contains(text, StringComparison.Ordinal));

    private static string Sentence(string message)
    {
        var line = string.Join(' ', message.Split(['\r', '\n'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));
        if (line.Length > 600) line = line[..600] + "…";
        return line.EndsWith('.') ? line : line + ".";
    }
}
