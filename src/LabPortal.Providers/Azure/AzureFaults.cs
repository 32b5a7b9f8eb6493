using LabPortal.Domain.Pools;

namespace LabPortal.Providers.Azure;

/// <summary>What Resource Manager says → a fault: its kind, and a sentence (learn.microsoft.com, "Resolve common Azure deployment errors"; "Error messages" of virtual machines).</summary>
internal static class AzureFaults
{
    private static readonly HashSet<string> s_noCapacity = new(StringComparer.OrdinalIgnoreCase)
    {
        "SkuNotAvailable", "AllocationFailed", "ZonalAllocationFailed", "OverconstrainedAllocationRequest", "OverconstrainedZonalAllocationRequest", "QuotaExceeded", "SubnetIsFull", "ResourceQuotaExceeded",
        "SubscriptionQuotaReached",
    };

    private static readonly HashSet<string> s_unauthorized = new(StringComparer.OrdinalIgnoreCase)
    {
        "AuthorizationFailed", "LinkedAuthorizationFailed", "InvalidAuthenticationToken", "InvalidAuthenticationTokenTenant", "ExpiredAuthenticationToken", "AuthenticationFailed", "RequestDisallowedByPolicy",
        "ReadOnlyDisabledSubscription", "MissingSubscriptionRegistration",
    };

    private static readonly HashSet<string> s_passing = new(StringComparer.OrdinalIgnoreCase)
    {
        "ResourceGroupBeingDeleted", "ResourceGroupDeletionBlocked", "AnotherOperationInProgress", "Conflict", "OperationPreempted", "RetryableError", "VMBeingDeleted", "NicReservedForAnotherVm", "DiskBeingDeleted",
    };

    public static FaultKind KindOf(string code, string message, int status) => code switch
    {
        _ when status == 429 || code.Equals("TooManyRequests", StringComparison.OrdinalIgnoreCase) => FaultKind.Throttled,
        _ when s_noCapacity.Contains(code) => FaultKind.NoCapacity,
        // One code for many things; a quota is told by its words.
        "OperationNotAllowed" when message.Contains("quota", StringComparison.OrdinalIgnoreCase) => FaultKind.NoCapacity,
        _ when s_unauthorized.Contains(code) || status is 401 or 403 => FaultKind.Unauthorized,
        _ when s_passing.Contains(code) || status is 0 or 408 or 409 or >= 500 => FaultKind.Transient,
        _ when status is >= 400 => FaultKind.Rejected,
        _ => FaultKind.Broken,
    };

    public static ProviderFault Of(string deed, string code, string message, int status, TimeSpan? retryAfter, Exception cause)
    {
        var (kind, said) = (KindOf(code, message, status), $"{(code.Length == 0 ? $"status {status}" : code)}: {Clean(message)}");
        return kind switch
        {
            FaultKind.Throttled => new ProviderFault(kind, $"Azure asks to slow down ({deed}): {said}", cause, retryAfter ?? TimeSpan.FromSeconds(10)),
            FaultKind.NoCapacity => new ProviderFault(kind, $"Azure has no room for it ({deed}): {said}", cause),
            FaultKind.Unauthorized => new ProviderFault(kind, $"Azure refuses the portal ({deed}): {said}", cause),
            FaultKind.Transient => new ProviderFault(kind, $"Azure could not do that now ({deed}): {said}", cause, retryAfter),
            FaultKind.Rejected => new ProviderFault(kind, $"Azure rejects it ({deed}): {said}", cause),
            _ => new ProviderFault(kind, $"Azure answered with something else ({deed}): {said}", cause),
        };
    }

    public static ProviderFault Late(string deed, TimeSpan deadline, Exception cause) => new(FaultKind.Transient, $"Azure did not answer within {deadline.TotalSeconds:0.#} s ({deed}).", cause);

    public static ProviderFault Away(string deed, Exception cause) => new(FaultKind.Transient, $"Azure did not answer ({deed}): {Clean(cause.GetBaseException().Message)}", cause);

    public static ProviderFault NoCredentials(Exception cause) => new(FaultKind.Unauthorized, $"The portal cannot sign in to Azure: {Clean(cause.Message)}", cause);

    /// <summary>The first line, without the headers that the SDK puts below.</summary>
    private static string Clean(string message)
    {
        var text = message.Split('\n')[0].Trim();
        if (text.Length == 0) return "no more was said.";
        return text[^1] == '.' ? text : text + ".";
    }
}
