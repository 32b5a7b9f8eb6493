using LabPortal.Domain;

namespace LabPortal.Operations;

/// <summary>Which portal this is, and the folder that is its own.</summary>
public sealed record PortalIdentity(InstallationId Installation, string DataFolder);
