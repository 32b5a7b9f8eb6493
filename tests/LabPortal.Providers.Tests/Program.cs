using LabPortal.Providers.Tests.Libvirt;
using LabPortal.Providers.Tests.Simulated;

// The same two runners as xunit's own entry point has, and before them the workers that tests start and kill.
return args switch
{
    [SimulatedWorker.Word, .. var order] => await SimulatedWorker.RunAsync(order),
    [LibvirtWorker.Word, var uri] => await LibvirtWorker.RunAsync(uri),
    _ when args.Any(arg => arg is "--server" or "--internal-msbuild-node") =>
        await Xunit.MicrosoftTestingPlatform.TestPlatformTestFramework.RunAsync(args, LabPortal.Providers.Tests.SelfRegisteredExtensions.AddSelfRegisteredExtensions),
    _ => await Xunit.Runner.InProc.SystemConsole.ConsoleRunner.Run(args),
};
