using System.Text.RegularExpressions;
using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Aws;

/// <summary>What EC2 says → a fault: its kind, and a sentence (Amazon EC2 API Reference, "Error codes").</summary>
internal static partial class AwsFaults
{
    public const string TokenTaken = "IdempotentParameterMismatch";

    private static readonly HashSet<string> s_noCapacity = new(StringComparer.Ordinal)
    {
        "InsufficientInstanceCapacity", "InsufficientCapacity", "InsufficientHostCapacity", "InsufficientReservedInstanceCapacity", "InsufficientFreeAddressesInSubnet", "InsufficientVolumeCapacity",
        "VcpuLimitExceeded", "InstanceLimitExceeded", "MaxSpotInstanceCountExceeded", "SpotMaxPriceTooLow", "VolumeLimitExceeded", "SnapshotLimitExceeded", "MaxIOPSLimitExceeded",
        "NetworkInterfaceLimitExceeded", "Unsupported", "ConcurrentSnapshotLimitExceeded", "ResourceLimitExceeded",
    };

    private static readonly HashSet<string> s_unauthorized = new(StringComparer.Ordinal)
    {
        "UnauthorizedOperation", "AuthFailure", "InvalidClientTokenId", "SignatureDoesNotMatch", "OptInRequired", "ExpiredToken", "ExpiredTokenException", "AccessDenied", "AccessDeniedException", "Blocked",
        "PendingVerification", "MissingAuthenticationToken", "IncompleteSignature", "UnrecognizedClientException", "RequestExpired", "InvalidSecurity",
    };

    private static readonly HashSet<string> s_throttled = new(StringComparer.Ordinal) { "RequestLimitExceeded", "Throttling", "ThrottlingException", "RequestThrottled", "EC2ThrottledException", "SnapshotCreationPerVolumeRateExceeded" };

    // On its way, or not seen yet by the server that was asked.
    private static readonly HashSet<string> s_passing = new(StringComparer.Ordinal)
    {
        "IncorrectState", "IncorrectInstanceState", "IncorrectSpotRequestState", "VolumeInUse", "DependencyViolation", "ResourceCountExceeded", "InternalError", "InternalFailure", "Unavailable", "ServiceUnavailable",
        "Server.InternalError", "InvalidInstanceID.NotFound", "InvalidVolume.NotFound", "InvalidNetworkInterfaceID.NotFound", "InvalidGroup.NotFound", "InvalidGroup.InUse", "RequestTimeout", TokenTaken,
    };

    public static ProviderFault Of(string action, string code, string message, int status, TimeSpan? retryAfter, Exception cause)
    {
        var said = $"{code}: {Clean(message)}";
        if (s_throttled.Contains(code))
            return new ProviderFault(FaultKind.Throttled, $"AWS asks to slow down ({action}): {said}", cause, retryAfter ?? TimeSpan.FromSeconds(5));
        if (code == "RequestExpired") return new ProviderFault(FaultKind.Unauthorized, $"The portal's clock is not that of AWS, which refuses {action}: {said} Set the clock of the portal's machine.", cause);
        if (code == "UnauthorizedOperation") return new ProviderFault(FaultKind.Unauthorized, $"The credentials may not do {ActionOf(action, message)}; give them that permission (infra/aws/iam-policy.json has all that are needed).", cause);
        if (s_unauthorized.Contains(code)) return new ProviderFault(FaultKind.Unauthorized, $"AWS refuses the credentials for {action}: {said}", cause);
        if (s_noCapacity.Contains(code)) return new ProviderFault(FaultKind.NoCapacity, $"AWS has no room for it ({action}): {said}", cause);
        if (s_passing.Contains(code) || status >= 500) return new ProviderFault(FaultKind.Transient, $"AWS could not do {action} now: {said}", cause);
        return status is >= 400 ? new ProviderFault(FaultKind.Rejected, $"AWS rejects {action}: {said}", cause) : new ProviderFault(FaultKind.Broken, $"AWS answered {action} with something else: {said}", cause);
    }

    public static ProviderFault Away(string action, Exception cause) => new(FaultKind.Transient, $"AWS did not answer {action}: {Clean(cause.GetBaseException().Message)}", cause);

    public static ProviderFault Late(string action, TimeSpan deadline, Exception cause) => new(FaultKind.Transient, $"AWS did not answer {action} within {deadline.TotalSeconds:0.#} s.", cause);

    public static ProviderFault NoCredentials(Exception cause) => new(FaultKind.Unauthorized, "The portal has no credentials for AWS. Give the pool an access key, or the portal's machine a profile or role.", cause);

    /// <summary>The permission that was missing for this action: it may be that of another, which EC2 does along (<c>ec2:CreateTags</c>).</summary>
    public static string ActionOf(string action, string message) => Permission().Match(message) is { Success: true } named ? named.Groups[1].Value : $"ec2:{action}";

    [GeneratedRegex("to perform: ([a-z0-9]{1,20}:[A-Za-z]{1,60})", RegexOptions.CultureInvariant, 100)]
    private static partial Regex Permission();

    private static string Clean(string message)
    {
        var text = message.Trim();
        if (text.Length == 0) return "no more was said.";
        return text[^1] == '.' ? text : text + ".";
    }
}
