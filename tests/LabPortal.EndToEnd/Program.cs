using LabPortal.EndToEnd;

// The same two runners as xunit's own entry point has, and before them the client that ssh starts.
return args switch
{
    [TunnelClient.Word, var portal, var lab, var machine] => await TunnelClient.RunAsync(portal, lab, machine),
    _ when args.Any(arg => arg is "--server" or "--internal-msbuild-node") =>
        await Xunit.MicrosoftTestingPlatform.TestPlatformTestFramework.RunAsync(args, LabPortal.EndToEnd.SelfRegisteredExtensions.AddSelfRegisteredExtensions),
    _ => await Xunit.Runner.InProc.SystemConsole.ConsoleRunner.Run(args),
};
