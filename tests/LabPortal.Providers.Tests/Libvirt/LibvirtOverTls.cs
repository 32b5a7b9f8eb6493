using System.Diagnostics;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using LabPortal.Domain;
using LabPortal.Domain.Machines;
using LabPortal.Domain.Pools;
using LabPortal.Testing;
using Xunit;

namespace LabPortal.Providers.Tests.Libvirt;

/// <summary><c>qemu+tls://</c> to a libvirtd that asks for certificates and shows one.</summary>
[Collection(OnLibvirt.Name)]
public sealed class LibvirtOverTls : IAsyncLifetime
{
    private const string ServerAuthentication = "1.3.6.1.5.5.7.3.1";
    private const string ClientAuthentication = "1.3.6.1.5.5.7.3.2";

    private readonly TestFolder _folder = new();
    private readonly InstallationId _installation = new(Ids.New(TimeProvider.System));
    private PrivateLibvirt? _libvirt;
    private string _address = "";

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        if (PrivateLibvirt.WhyNot is not null) return;
        _libvirt = await PrivateLibvirt.StartAsync(Cancellation);
        _address = (await File.ReadAllTextAsync(Path.Combine(_libvirt.Folder, "subnet"), Cancellation)).Trim() + ".1";
        using var ours = Authority("ours");
        using var strangers = Authority("strangers");
        WriteClient("sound", trusted: ours, signer: ours);
        WriteClient("trusts-another", trusted: strangers, signer: ours);
        WriteClient("signed-by-another", trusted: ours, signer: strangers);
        WritePair("server", ours, ServerAuthentication);
        await File.WriteAllTextAsync(_folder["ca.pem"], ours.ExportCertificatePem(), Cancellation);

        // The daemon is started again when it ends, and reads then what it is told here.
        var settings = Path.Combine(_libvirt.Folder, "etc/libvirtd.conf");
        await File.WriteAllTextAsync(settings, (await File.ReadAllTextAsync(settings, Cancellation)).Replace("listen_tls = 0", $"""
            listen_tls = 1
            key_file = "{_folder.Path}/server.key"
            cert_file = "{_folder.Path}/server.pem"
            ca_file = "{_folder.Path}/ca.pem"
            """, StringComparison.Ordinal), Cancellation);
        await Tool.RunAsync(Cancellation, "kill", $"{await _libvirt.PidAsync(Cancellation)}");
    }

    public async ValueTask DisposeAsync()
    {
        if (_libvirt is not null) await _libvirt.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    public async Task A_machine_is_made_seen_and_removed_over_tls_and_a_wrong_certificate_on_either_side_is_unauthorized()
    {
        Assert.SkipWhen(PrivateLibvirt.WhyNot is not null, PrivateLibvirt.WhyNot ?? "");
        await using var provider = Open("sound");
        await ListensAsync(provider);
        var machine = new MachineSpec(new Owner(_installation, new LabId(Ids.New(TimeProvider.System)), new MachineId(Ids.New(TimeProvider.System)), 1),
            "here", "web-1", "tls", LibvirtPeer.Tiny, 1, 128, 1, new GuestSeed("root", [], null, new Dictionary<string, object>()));
        await provider.EnsureExistsAsync(machine, Cancellation);
        Assert.Equal(PowerState.Running, Assert.IsType<Observation.Present>(Assert.Single(await provider.ObserveAsync([machine.Reference], Cancellation))).Power);
        Assert.Contains(machine.Owner.ResourceName, await _libvirt!.VirshAsync(Cancellation, "list", "--name"), StringComparison.Ordinal);

        foreach (var wrong in new[] { "trusts-another", "signed-by-another" })
        {
            await using var stranger = Open(wrong);
            var fault = await Assert.ThrowsAsync<ProviderFault>(() => stranger.ObserveAsync([machine.Reference], Cancellation));
            Assert.True(fault.Kind == FaultKind.Unauthorized, $"{wrong}: {fault.Kind}: {fault.Message}");
            Assert.Contains("Check the user, key or certificate", fault.Message, StringComparison.Ordinal);
        }

        await provider.EnsureGoneAsync(machine.Reference, Cancellation);
        Assert.Empty(await provider.ListOwnedAsync(Cancellation));
    }

    private IProvider Open(string client) => LibvirtPeer.Open(_installation, $"qemu+tls://{_address}/system?pkipath={_folder[client]}");

    private static async Task ListensAsync(IProvider provider)
    {
        for (var watch = Stopwatch.StartNew(); ; await Task.Delay(200, Cancellation))
        {
            try
            {
                await provider.ListOwnedAsync(Cancellation);
                return;
            }
            catch (ProviderFault fault) when (fault.Kind == FaultKind.Transient && watch.Elapsed < TimeSpan.FromMinutes(5))
            {
                // Not up again yet.
            }
        }
    }

    private static X509Certificate2 Authority(string name)
    {
        using var key = RSA.Create(2048);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, hasPathLengthConstraint: false, 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign, critical: true));
        return request.CreateSelfSigned(TimeProvider.System.GetUtcNow().AddDays(-1), TimeProvider.System.GetUtcNow().AddDays(1));
    }

    private void WriteClient(string client, X509Certificate2 trusted, X509Certificate2 signer)
    {
        var folder = Directory.CreateDirectory(_folder[client]).FullName;
        WritePair(Path.Combine(client, "client"), signer, ClientAuthentication);
        File.Move(Path.Combine(folder, "client.pem"), Path.Combine(folder, "clientcert.pem"));
        File.Move(Path.Combine(folder, "client.key"), Path.Combine(folder, "clientkey.pem"));
        File.WriteAllText(Path.Combine(folder, "cacert.pem"), trusted.ExportCertificatePem());
    }

    private void WritePair(string name, X509Certificate2 signer, string purpose)
    {
        using var key = RSA.Create(2048);
        var request = new CertificateRequest($"CN={Path.GetFileName(name)}", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature | X509KeyUsageFlags.KeyEncipherment, critical: true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid(purpose)], critical: false));
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Parse(_address));
        request.CertificateExtensions.Add(names.Build());
        using var certificate = request.Create(signer, new DateTimeOffset(signer.NotBefore), new DateTimeOffset(signer.NotAfter), RandomNumberGenerator.GetBytes(8));
        File.WriteAllText(_folder[name + ".pem"], certificate.ExportCertificatePem());
        File.WriteAllText(_folder[name + ".key"], key.ExportPkcs8PrivateKeyPem());
    }
}
