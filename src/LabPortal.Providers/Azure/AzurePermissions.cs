namespace LabPortal.Providers.Azure;

/// <summary>What the portal's role needs, as role definitions name it ("Azure permissions for Compute", "… for Networking"); infra/azure/role-definition.json has the same.</summary>
internal static class AzurePermissions
{
    public static IReadOnlyList<string> Needed { get; } =
    [
        "Microsoft.Authorization/permissions/read",
        "Microsoft.Compute/disks/beginGetAccess/action",
        "Microsoft.Compute/disks/delete",
        "Microsoft.Compute/disks/read",
        "Microsoft.Compute/disks/write",
        "Microsoft.Compute/galleries/images/read",
        "Microsoft.Compute/galleries/images/versions/read",
        "Microsoft.Compute/images/read",
        "Microsoft.Compute/locations/publishers/artifacttypes/offers/skus/versions/read",
        "Microsoft.Compute/locations/usages/read",
        "Microsoft.Compute/locations/vmSizes/read",
        "Microsoft.Compute/snapshots/beginGetAccess/action",
        "Microsoft.Compute/snapshots/delete",
        "Microsoft.Compute/snapshots/read",
        "Microsoft.Compute/snapshots/write",
        "Microsoft.Compute/virtualMachines/deallocate/action",
        "Microsoft.Compute/virtualMachines/delete",
        "Microsoft.Compute/virtualMachines/read",
        "Microsoft.Compute/virtualMachines/restart/action",
        "Microsoft.Compute/virtualMachines/retrieveBootDiagnosticsData/action",
        "Microsoft.Compute/virtualMachines/start/action",
        "Microsoft.Compute/virtualMachines/write",
        "Microsoft.Network/networkInterfaces/delete",
        "Microsoft.Network/networkInterfaces/join/action",
        "Microsoft.Network/networkInterfaces/read",
        "Microsoft.Network/networkInterfaces/write",
        "Microsoft.Network/networkSecurityGroups/join/action",
        "Microsoft.Network/publicIPAddresses/delete",
        "Microsoft.Network/publicIPAddresses/join/action",
        "Microsoft.Network/publicIPAddresses/read",
        "Microsoft.Network/publicIPAddresses/write",
        "Microsoft.Network/virtualNetworks/subnets/join/action",
        "Microsoft.Network/virtualNetworks/subnets/read",
        "Microsoft.Resources/subscriptions/read",
        "Microsoft.Resources/subscriptions/resourceGroups/delete",
        "Microsoft.Resources/subscriptions/resourceGroups/read",
        "Microsoft.Resources/subscriptions/resourceGroups/write",
        "Microsoft.Resources/subscriptions/resources/read",
    ];

    /// <summary>Those that only some pools need: it is no problem of the others that they are missing.</summary>
    public static bool MattersTo(string permission, AzureSettings settings) => permission switch
    {
        _ when permission.StartsWith("Microsoft.Network/publicIPAddresses/", StringComparison.Ordinal) => settings.PublicAddress,
        "Microsoft.Network/networkSecurityGroups/join/action" => settings.SecurityGroup.Length > 0,
        "Microsoft.Resources/subscriptions/resourceGroups/delete" or "Microsoft.Resources/subscriptions/resourceGroups/write" => settings.ResourceGroup.Length == 0,
        // The subnet may be in a group with rights of its own, which these do not tell.
        _ => !permission.StartsWith("Microsoft.Network/virtualNetworks/", StringComparison.Ordinal),
    };

    /// <summary>Does one of these grants allow it? An action may have stars; what a grant excepts it does not allow.</summary>
    public static bool Allows(IEnumerable<AzureGrant> grants, string permission) => grants.Any(grant => grant.Actions.Any(action => Matches(action, permission)) && !grant.NotActions.Any(action => Matches(action, permission)));

    private static bool Matches(string pattern, string permission)
    {
        var parts = pattern.Split('*');
        if (parts.Length == 1) return pattern.Equals(permission, StringComparison.OrdinalIgnoreCase);
        if (!permission.StartsWith(parts[0], StringComparison.OrdinalIgnoreCase) || !permission.EndsWith(parts[^1], StringComparison.OrdinalIgnoreCase)) return false;
        var at = parts[0].Length;
        foreach (var part in parts[1..^1])
        {
            var found = permission.IndexOf(part, at, StringComparison.OrdinalIgnoreCase);
            if (found < 0) return false;
            at = found + part.Length;
        }

        return permission.Length - parts[^1].Length >= at;
    }
}

/// <summary>What one role assignment of the caller allows ("Permissions - List For Resource Group").</summary>
internal sealed record AzureGrant(IReadOnlyList<string> Actions, IReadOnlyList<string> NotActions);
