using System.Xml.Linq;
using LabPortal.Operations.Pools;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.AspNetCore.DataProtection.KeyManagement;
using Microsoft.AspNetCore.DataProtection.Repositories;
using Microsoft.Extensions.DependencyInjection;

namespace LabPortal.Operations.People;

/// <summary>
/// Where the keys of Data Protection are: one file each, mode 0600, in a folder of mode 0700 outside the database. Several nodes share
/// the folder. Our own repository, because the framework's leaves the mode to the umask.
/// </summary>
internal sealed class KeysFolder : IXmlRepository
{
    private readonly string _path;

    public KeysFolder(string path)
    {
        _path = path;
        Directory.CreateDirectory(path);
        if (OperatingSystem.IsWindows()) return;
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        foreach (var file in Directory.EnumerateFiles(path)) File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserWrite);
    }

    public IReadOnlyCollection<XElement> GetAllElements() => [.. Directory.EnumerateFiles(_path, "*.xml").Order(StringComparer.Ordinal).Select(file => XElement.Load(file))];

    public void StoreElement(XElement element, string friendlyName)
    {
        var part = Path.Combine(_path, $"{friendlyName}.part");
        var options = new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        using (var stream = new FileStream(part, options))
        {
            element.Save(stream);
            stream.Flush(flushToDisk: true);
        }

        File.Move(part, Path.Combine(_path, $"{friendlyName}.xml"), overwrite: true);
    }
}

public static class PortalSecrets
{
    /// <summary>Data Protection with its keys in this folder, and the secret store on it. Cookies and antiforgery use the same keys.</summary>
    public static IServiceCollection AddPortalSecrets(this IServiceCollection services, string keysFolder)
    {
        services.AddDataProtection().SetApplicationName("LabPortal");
        services.Configure<KeyManagementOptions>(options => options.XmlRepository = new KeysFolder(keysFolder));
        return services.AddSingleton<SecretStore>().AddSingleton<ISecretSource>(provider => provider.GetRequiredService<SecretStore>());
    }
}
