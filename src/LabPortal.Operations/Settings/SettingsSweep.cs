using LabPortal.Data;

namespace LabPortal.Operations.Settings;

/// <summary>What an admin set at another node counts here within seconds.</summary>
public sealed class SettingsSweep(Database database, LiveSettings settings)
{
    public Task RunAsync(CancellationToken cancellation) => settings.ReadAsync(database, cancellation);
}
